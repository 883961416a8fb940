/**
 * What a training pass makes again on the way back rather than keep: nothing that takes a product, or all within a block, the
 * CLA group, since its layers share K and V.
 */
export const recomputations = ["none", "block"] as const;
export type Recomputation = (typeof recomputations)[number];
