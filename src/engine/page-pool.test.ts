import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { PagePool } from "./page-pool.ts";
import { pageKey, rootKey } from "./prefix.ts";

describe("a pool of pages", () => {
  it("gives each page once, and none when all are in use", () => {
    const pool = new PagePool(5);
    const pages = Array.from({ length: 5 }, () => pool.take());
    assert.deepEqual(pages, [0, 1, 2, 3, 4]);
    assert.equal(pool.take(), undefined);
    pool.release(3);
    assert.equal(pool.take(), 3);
  });

  it("keeps what has a key until its room is needed, and gives up first what was used longest ago", () => {
    const pool = new PagePool(3);
    for (const key of ["a", "b", "c"]) pool.remember(pool.take()!, key);
    for (const page of [1, 0, 2]) pool.release(page);
    assert.deepEqual([pool.inUse, pool.kept, pool.free], [0, 3, 0]);
    assert.equal(pool.find("b"), 1);
    pool.release(1);
    assert.equal(pool.take(), 0, "b was used since");
    assert.equal(pool.find("a"), undefined);
    assert.equal(pool.find("c"), 2);
    assert.equal(pool.take(), 1);
    assert.equal(pool.take(), undefined);
  });

  it("finds nothing after it has forgotten, and frees what is used when its user goes", () => {
    const pool = new PagePool(2);
    for (const key of ["a", "b"]) pool.remember(pool.take()!, key);
    pool.release(0);
    pool.forgetKeys();
    assert.equal(pool.find("a") ?? pool.find("b"), undefined);
    assert.deepEqual([pool.inUse, pool.kept, pool.free], [1, 0, 1]);
    pool.release(1);
    assert.equal(pool.free, 2);
    assert.throws(() => pool.release(1), /more often/);
  });

  it("counts every page once, whatever is done to it", () => {
    const command = fc.tuple(fc.constantFrom("take", "share", "release", "remember", "find", "forget"), fc.nat(30));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(command, { maxLength: 200 }), (size, commands) => {
        const pool = new PagePool(size);
        const held: number[] = [];
        for (const [what, n] of commands) {
          const page = held[n % Math.max(1, held.length)];
          if (what === "take" || what === "find") {
            const got = what === "take" ? pool.take() : pool.find(`key ${n % 6}`);
            if (what === "take") assert.equal(got === undefined, new Set(held).size === size);
            if (what === "take" && got !== undefined) assert.ok(!held.includes(got), "it was in use");
            if (got !== undefined) held.push(got);
          } else if (what === "forget") pool.forgetKeys();
          else if (page === undefined) continue;
          else if (what === "share") {
            pool.share(page);
            held.push(page);
          } else if (what === "remember") pool.remember(page, `key ${n % 6}`);
          else {
            pool.release(page);
            held.splice(held.indexOf(page), 1);
          }
          assert.equal(pool.inUse, new Set(held).size);
          assert.equal(pool.inUse + pool.available, size);
        }
      }),
      { seed: 20241104, numRuns: 300 },
    );
  });
});

describe("the key of a page", () => {
  it("is another for other tokens, parents, tenants, weights and types", () => {
    const tokens = Int32Array.from({ length: 64 }, (_, at) => at);
    const other = Int32Array.from(tokens).reverse();
    const roots = [rootKey(0, "bf16", ""), rootKey(1, "bf16", ""), rootKey(0, "fp8", ""), rootKey(0, "bf16", "me")];
    const keys = roots.flatMap((root) => [
      pageKey(root, tokens),
      pageKey(root, other),
      pageKey(pageKey(root, tokens), tokens),
    ]);
    assert.equal(new Set(keys).size, keys.length);
    assert.equal(pageKey(roots[0]!, tokens), pageKey(roots[0]!, tokens.slice()));
    assert.equal(pageKey(roots[0]!, new Int32Array([9, ...tokens]).subarray(1)), pageKey(roots[0]!, tokens));
  });
});
