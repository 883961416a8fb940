/** The other side of `train`. */
import { answerOnThread } from "../base/thread.ts";
import { runTraining } from "./run.ts";

await answerOnThread(runTraining);
