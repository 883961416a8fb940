/** What more experts cost, at the same work a token: how much of it the larger traffic of weights explains, and what it was. */
import { type Contest, PeakMeter, takeTurns } from "./contest.ts";
import type { Contestant } from "./contestant.ts";
import { stateBytesPerWeight } from "./growth-model.ts";
import type { GrowthPlan } from "./growth-points.ts";
import { type Profile, profileOf } from "./profile.ts";
import { type Spread, spreadOf } from "./statistics.ts";

export type ExpertCost = {
  from: number;
  to: number;
  tokensPerStep: number;
  secondsPerStep: { from: Spread; to: Spread };
  tokensPerSecond: { from: Spread; to: Spread };
  /** Bytes that weights, gradients and moments move more in a step, and their seconds at the read bandwidth. */
  moreBytes: number;
  bytesPerSecond: Spread;
  explainedSeconds: number;
  /** Tokens a second if the traffic were all that is lost. */
  explainedTokensPerSecond: number;
  /** The share of those that is lost beyond it, round by round; below 0 the traffic costs less than it should. */
  lossBeyondTraffic: Spread;
  classes: { name: string; from: number; to: number; difference: number }[];
};

const fewestExperts = 8;

/** The plans to compare: 8 experts, and more of them at the same tokens a step, most first. */
function candidates(plans: readonly GrowthPlan[]): { from: GrowthPlan; to: GrowthPlan[] } | undefined {
  const tokensOf = ({ work }: GrowthPlan) => work.batch * work.sequenceLength;
  const from = plans.find((plan) => plan.axis === "experts" && plan.value === fewestExperts);
  if (!from) return undefined;
  const more = plans.filter((plan) => plan.axis === "experts" && plan.value > from.value);
  return { from, to: more.filter((plan) => tokensOf(plan) === tokensOf(from)).reverse() };
}

/**
 * Measures both ends in rounds that alternate, with the bandwidth of each round.
 * @param mostBytes what one of the processes may take; the most experts that fit are compared. @returns null if none do.
 */
export async function measureExpertCost(
  contest: Contest,
  plans: readonly GrowthPlan[],
  { rounds, roundSeconds, mostBytes }: { rounds: number; roundSeconds: number; mostBytes: number },
): Promise<ExpertCost | null> {
  const ends = candidates(plans);
  if (!ends) return null;
  await using stack = new AsyncDisposableStack();
  const open = async (threads: number): Promise<Contestant> => stack.use((await contest.ours(threads)).contestant);
  const { from } = ends;
  const few = await open(from.threads);
  const many = await open(from.threads);
  let to: GrowthPlan | undefined;
  for (const plan of ends.to) {
    const { totalBytes } = await many.call("predict", { work: plan.work });
    if (totalBytes <= mostBytes) {
      to = plan;
      break;
    }
  }
  if (!to) return null;
  const meter = new PeakMeter(await open(from.threads));
  const { computeType } = from.work;
  const { parameters: fewParameters = 0 } = await few.call("prepare", { work: from.work }, 1800);
  const { parameters: manyParameters = 0 } = await many.call("prepare", { work: to.work }, 1800);
  const turns = await takeTurns([few, many], { rounds, seconds: roundSeconds }, async () => {
    await meter.measure(computeType, true);
  });
  const [fewSeconds, manySeconds] = turns.map((results) => results.map((round) => round.step!)) as [number[], number[]];
  const moreBytes = (manyParameters - fewParameters) * stateBytesPerWeight;
  const explained = fewSeconds.map((seconds, round) => seconds + moreBytes / meter.bytes[round]!);
  const tokens = from.work.batch * from.work.sequenceLength;
  const rates = (seconds: number[]) => spreadOf(seconds.map((one) => tokens / one));
  const fewProfile = profileOf(await few.call("profile", { repetitions: 2 }));
  const manyProfile = profileOf(await many.call("profile", { repetitions: 2 }));
  return {
    ...{ from: from.value, to: to.value, tokensPerStep: tokens },
    secondsPerStep: { from: spreadOf(fewSeconds), to: spreadOf(manySeconds) },
    tokensPerSecond: { from: rates(fewSeconds), to: rates(manySeconds) },
    moreBytes,
    bytesPerSecond: spreadOf(meter.bytes),
    explainedSeconds: spreadOf(meter.bytes.map((bytes) => moreBytes / bytes)).median,
    explainedTokensPerSecond: rates(explained).median,
    lossBeyondTraffic: spreadOf(manySeconds.map((seconds, round) => 1 - explained[round]! / seconds)),
    classes: compareProfiles(fewProfile, manyProfile),
  };
}

/** Seconds of a step by class of kernels in both, the largest difference first. */
export function compareProfiles(from: Profile, to: Profile): ExpertCost["classes"] {
  const secondsOf = ({ classes }: Profile, name: string) =>
    classes.find((line) => line.name === name)?.secondsPerStep ?? 0;
  const names = new Set([...to.classes, ...from.classes].map((line) => line.name));
  return [...names]
    .map((name) => {
      const [before, after] = [secondsOf(from, name), secondsOf(to, name)];
      return { name, from: before, to: after, difference: after - before };
    })
    .sort((a, b) => b.difference - a.difference);
}
