/** An engine on the caller's own thread: for one's own program, and for tests. Each step blocks it, between steps others run. */
import { Engine, type RunnableModel } from "./engine.ts";
import { EngineClient } from "./engine-client.ts";
import { EngineLoop } from "./engine-loop.ts";
import { Grammars } from "./grammar.ts";
import { type EngineOptionsInput, engineOptionsSchema, settleOptions } from "./options.ts";

export class LocalEngine extends EngineClient {
  /**
   * @param source packed for its execution's compute type; borrowed, and used by nobody else until `close`.
   * @throws RookeryError INVALID_OPTION for a cache that does not hold the longest text, OUT_OF_MEMORY.
   */
  constructor(source: RunnableModel, options: Omit<EngineOptionsInput, "computeType" | "threads"> = {}) {
    const { computeType } = source.execution;
    const settings = settleOptions(engineOptionsSchema.parse({ ...options, computeType }), source.model.config);
    const engine = new Engine(source, settings);
    const loop: EngineLoop = new EngineLoop(
      engine,
      new Grammars(source.tokenizer, source.model.config.vocabularySize),
      (outputs) => this.deliver(outputs),
      (error) => this.fail(error),
    );
    super(engine.info, {
      start: (id, work) => loop.start(id, work),
      cancel: (id) => loop.cancel(id),
      stats: async () => loop.stats(),
      close: async () => {
        loop.stop();
        engine[Symbol.dispose]();
      },
    });
  }
}
