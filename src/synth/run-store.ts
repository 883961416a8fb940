/** The state of a run: its jobs, the answers of endpoints, and what they took. */
import type { Usage } from "../endpoint/budget.ts";
import type { AnswerStore, KeptAnswer } from "../endpoint/client.ts";
import type { Jobs } from "../jobs/jobs.ts";
import { addCosts, noCost } from "./record.ts";

const spentItem = "spent";

/** Keeps each answer and what it took in one transaction, so that a budget holds over kills, too. */
export class RunStore implements AnswerStore {
  readonly jobs: Jobs;
  #spent: Usage;

  constructor(jobs: Jobs) {
    this.jobs = jobs;
    this.#spent = (jobs.getItem(spentItem) as Usage | undefined) ?? noCost;
  }

  /** By all requests of the run so far, those of earlier sessions among them. */
  get spent(): Usage {
    return this.#spent;
  }

  recall(key: string): unknown {
    return this.jobs.recall(key);
  }

  remember(key: string, answer: KeptAnswer): void {
    const spent = addCosts([this.#spent, answer.usage]);
    this.jobs.atomically(() => {
      this.jobs.remember(key, answer);
      this.jobs.setItem(spentItem, spent);
    });
    this.#spent = spent;
  }
}
