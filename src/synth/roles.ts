/** Who does what: the endpoints of a configuration as clients, by role. */
import { RookeryError } from "../base/errors.ts";
import type { CommandContext } from "../base/events.ts";
import { didYouMean } from "../base/nearest.ts";
import { streamKeys, uniform } from "../base/random.ts";
import { Budget } from "../endpoint/budget.ts";
import { EndpointClient } from "../endpoint/client.ts";
import { Endpoint, type EndpointOptions } from "../endpoint/endpoint.ts";
import type { SynthOptions } from "./options.ts";
import type { Difficulty } from "./record.ts";
import type { RunStore } from "./run-store.ts";

/** An endpoint in a role. */
export type Role = { endpoint: string; model: string; client: EndpointClient };

export type SynthContext = CommandContext & {
  /** Where the keys of endpoints are looked up. */
  environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** Instead of the network's. */
  fetch?: EndpointOptions["fetch"];
};

export class Roles {
  readonly generator: Role | undefined;
  readonly evolver: Role | undefined;
  readonly critic: Role | undefined;
  readonly #answerers: readonly { role: Role; domains?: readonly string[]; difficulties?: readonly Difficulty[] }[];
  readonly #all: ReadonlyMap<string, Role>;

  private constructor(options: SynthOptions, all: ReadonlyMap<string, Role>) {
    const { generator, evolver = generator, critic, answerers } = options.roles;
    this.#all = all;
    this.generator = generator === undefined ? undefined : all.get(generator);
    this.evolver = evolver === undefined ? undefined : all.get(evolver);
    this.critic = critic === undefined ? undefined : all.get(critic);
    const listed = answerers.map(({ endpoint, domains, difficulties }) => ({
      role: all.get(endpoint)!,
      ...(domains ? { domains } : {}),
      ...(difficulties ? { difficulties } : {}),
    }));
    this.#answerers = listed.length > 0 || this.generator === undefined ? listed : [{ role: this.generator }];
  }

  /**
   * Makes a client of each endpoint that has a role.
   * @throws RookeryError INVALID_OPTION for a role that names no endpoint; ENDPOINT_FAILED where a server has to be asked for its
   * model and does not answer.
   */
  static async open(options: SynthOptions, store: RunStore, context: SynthContext): Promise<Roles> {
    const { generator, evolver, critic, answerers } = options.roles;
    const used = [generator, evolver, critic, ...answerers.map(({ endpoint }) => endpoint)];
    const names = new Set(used.filter((name) => name !== undefined));
    const budget = new Budget({ tokens: options.budgetTokens, money: options.budgetMoney }, store.spent);
    const all = new Map<string, Role>();
    for (const name of names) all.set(name, await openRole(name, options, { budget, store }, context));
    return new Roles(options, all);
  }

  /** Those who are named for the domain; where nobody is, those who are named for none. */
  answerersOf(domain: string, difficulty: Difficulty): readonly Role[] {
    const able = this.#answerers.filter(({ difficulties }) => difficulties?.includes(difficulty) ?? true);
    const special = able.filter(({ domains }) => domains?.includes(domain));
    return (special.length > 0 ? special : able.filter(({ domains }) => domains === undefined)).map(({ role }) => role);
  }

  get hasAnswerers(): boolean {
    return this.#answerers.length > 0;
  }

  /** Requests that all endpoints together take at once. */
  concurrencyOf(options: SynthOptions): number {
    return [...this.#all.keys()].reduce((sum, name) => sum + options.endpoints[name]!.concurrency, 0);
  }
}

async function openRole(
  name: string,
  options: SynthOptions,
  shared: { budget: Budget; store: RunStore },
  { environment = {}, fetch, signal }: SynthContext,
): Promise<Role> {
  const settings = Object.hasOwn(options.endpoints, name) ? options.endpoints[name] : undefined;
  if (settings === undefined) {
    throw new RookeryError(
      "INVALID_OPTION",
      `a role names the endpoint "${name}", which is not among endpoints`,
      didYouMean(name, Object.keys(options.endpoints)),
    );
  }
  const { url, apiKeyVariable, timeoutSeconds, concurrency, requestsPerMinute, tokensPerMinute, retries } = settings;
  const endpoint = new Endpoint({ url, apiKey: environment[apiKeyVariable], apiKeyVariable, fetch });
  const model = await endpoint.modelOrFirst(settings.model, `name one as endpoints.${name}.model`, signal);
  const client = new EndpointClient(endpoint, {
    // the name, not the address: a server that moves keeps its answers
    identity: name,
    timeoutMs: timeoutSeconds * 1000,
    seed: options.seed,
    structured: settings.structured,
    price: settings.price,
    ...{ concurrency, requestsPerMinute, tokensPerMinute, retries },
    hasAnswered: shared.store.spent.answerTokens > 0,
    ...shared,
  });
  return { endpoint: name, model, client };
}

/** The seed of a request, which its place in the run fixes: other seeds are other requests. */
export function requestSeed(seed: number, ...place: readonly (string | number)[]): number {
  return Math.floor(uniform(streamKeys(seed, "request", ...place), 0) * 2 ** 24);
}
