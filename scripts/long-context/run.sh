#!/bin/sh
# The recorded run of docs/long-context.md, in the folder where it is called; what is there already is not made again, and what was
# stopped goes on. Words behind it go to every training: run.sh --threads 1
set -e
flags="$*"
rookery="node $(dirname "$0")/../../bin/rookery.js"
mkdir -p retrieval
make() {
  file=$1
  shift
  [ -e "retrieval/$file.jsonl" ] || $rookery tasks retrieval "retrieval/$file.jsonl" "$@"
}
make tiny --kinds words --kinds copy --min-characters 10 --max-characters 60 --count 100000 --seed 1
make short --kinds words --kinds copy --kinds passkey --kinds key-value --kinds key-value --kinds lines --kinds lines --kinds lines \
  --min-characters 30 --max-characters 220 --questions 4 --count 60000 --seed 2
make long --kinds passkey --kinds key-value --kinds lines --kinds lines --kinds lines \
  --min-characters 700 --max-characters 2200 --facts 10 --questions 10 --count 6000 --seed 3
train() {
  if [ -e "runs/$1/config.json" ]; then $rookery train --resume --name "$1" $flags; else $rookery train --config "$(dirname "$0")/$2" --name "$1" ${3:-} $flags; fi
}
train base pretrain.yaml
train long stage.yaml "--from base"
for run in base long; do
  for kind in single key-value; do
    $rookery eval needle $run --kind $kind --lengths 256,512,768,1024 --depths 5 --samples 40 --out "needles/$run-$kind"
  done
done
