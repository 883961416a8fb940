/** The other side of `sft`, `reward` and `dpo`. */
import { answerOnThread } from "../base/thread.ts";
import type { StageWork } from "./align.ts";
import { runStage } from "./run.ts";

await answerOnThread(({ stage, options }: StageWork, context) => runStage(stage, options, context));
