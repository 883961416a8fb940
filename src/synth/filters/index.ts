/** What the pipeline takes from the filters. */
export { filterOptionsSchema, type SynthFilterOptions, setFilterKeys } from "./options.ts";
export { type FilterReason, filterReasons } from "./reasons.ts";
export { makeRecordFilter } from "./record-filter.ts";
export { makeSetFilter } from "./set-filter.ts";
