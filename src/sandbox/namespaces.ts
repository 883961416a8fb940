/**
 * The walls around a program, made of what Linux gives to any user: its own user, mount, process, IPC and network
 * namespaces, through `unshare` of util-linux. The program sees /usr read-only, its own text, a small folder in memory,
 * and no network device, not even a loopback one.
 */

/** What a program may use. Everything counts in bytes but the seconds and the counts. */
export type Limits = {
  cpuSeconds: number;
  /** Of private memory that can be written, for each process. */
  dataBytes: number;
  fileBytes: number;
  folderBytes: number;
  processes: number;
  openFiles: number;
};

/** Paths as the program inside sees them. */
export const insidePaths = { runtime: "/runtime/bin", program: "/runtime/program", folder: "/work" } as const;

/** Where the commands are that set up the walls, and the program's own PATH. */
export const searchPath = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";

/**
 * Run as root of the new namespaces. The root folder is a tmpfs of links and bind mounts that `pivot_root` makes the
 * only one. Two things need the second user namespace: a limit on processes counts those inside it alone, and its
 * owner may forbid further namespaces, in which memory could be taken that nobody counts (a tmpfs). The byte on
 * descriptor 3 says that the walls stand; from there on, whatever happens is the program's doing.
 */
const script = `
set -e
root=$1 program=$2 runtime=$3 folderBytes=$4 drop=$5 limits=$6
shift 6
mount -t tmpfs -o size=64k,nr_inodes=64,mode=755 none "$root"
cd "$root"
mkdir proc dev etc old runtime work
for name in usr bin lib lib32 lib64 nix; do
  if [ -L "/$name" ]; then cp -P "/$name" .
  elif [ -d "/$name" ]; then mkdir "$name"; mount --bind -o ro "/$name" "$name"
  fi
done
for device in null zero random urandom; do : > "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
if [ -f /etc/ld.so.cache ]; then : > etc/ld.so.cache; mount --bind -o ro /etc/ld.so.cache etc/ld.so.cache; fi
: > runtime/bin
mount --bind -o ro "$runtime" runtime/bin
: > runtime/program
mount --bind -o ro "$program" runtime/program
ln -s work tmp
mount -t tmpfs -o "size=$folderBytes,nr_inodes=1024,mode=1777,nosuid,nodev" none work
mount -t proc -o nosuid,nodev,noexec none proc
pivot_root . old
cd /work
umount -l /old
mount -o remount,bind,ro /
exec $drop unshare --user --map-root-user sh -c '
set -e
limits=$1
shift
echo 0 > /proc/sys/user/max_user_namespaces
echo ready >&3
exec 3>&-
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all --pdeathsig KILL prlimit $limits "$@"
' sh "$limits" "$@"
`;

/** The user and group "nobody". */
const nobody = 65534;

/**
 * The words of a command that runs `words` inside the walls.
 * @param root an empty folder that becomes the root; the program and the runtime are files outside.
 * @param isRoot true when root asks: root needs no user namespace to mount, and the program must not stay root, whose
 *   processes no limit counts.
 */
export function namespaceCommand(
  words: readonly string[],
  {
    root,
    program,
    runtime,
    limits,
    isRoot,
  }: {
    root: string;
    program: string;
    runtime: string;
    limits: Limits;
    isRoot: boolean;
  },
): string[] {
  const drop = isRoot ? `setpriv --reuid ${nobody} --regid ${nobody} --clear-groups` : "";
  return [
    "unshare",
    ...(isRoot ? [] : ["--user", "--map-root-user"]),
    ..."--mount --net --pid --ipc --uts --fork --kill-child=KILL sh -c".split(" "),
    script,
    "sh",
    root,
    program,
    runtime,
    String(limits.folderBytes),
    drop,
    limitWords(limits).join(" "),
    ...words,
  ];
}

function limitWords({ cpuSeconds, dataBytes, fileBytes, processes, openFiles }: Limits): string[] {
  const limits = { cpu: cpuSeconds, data: dataBytes, fsize: fileBytes, nproc: processes, nofile: openFiles, core: 0 };
  return Object.entries(limits).map(([name, limit]) => `--${name}=${limit}`);
}

/**
 * The same without walls, for machines that have none: the limits that hold for one process. The number of processes is
 * left alone, since it would count all of the user's.
 */
export function limitedCommand(
  words: readonly string[],
  { cpuSeconds, dataBytes, fileBytes, openFiles }: Limits,
): string[] {
  const blocks = Math.ceil(fileBytes / 512);
  const kibibytes = Math.ceil(dataBytes / 1024);
  const script = `ulimit -c 0 -t ${cpuSeconds} 2>/dev/null
ulimit -f ${blocks} 2>/dev/null
ulimit -n ${openFiles} 2>/dev/null
ulimit -d ${kibibytes} 2>/dev/null
echo ready >&3
exec 3>&-
exec "$@"`;
  return ["sh", "-c", script, "sh", ...words];
}
