// What a budget buys: the best model by a scaling law, its recipe, the machines, and what serving it takes.
import { account, plan, presets } from "rookery";

const { planned, model, recipe, hardware, warnings } = plan({ money: 50_000, pricePerHour: 2, family: "mini" });
console.log(`${(planned.activatedParameters / 1e9).toFixed(1)}B activated parameters on ${planned.tokens} tokens`);
console.log(`${hardware.devices} × ${hardware.title} for ${hardware.days.toFixed(1)} days`, recipe);
for (const warning of warnings) console.warn(warning);

// The same model with twice the experts: more to keep, nothing more to compute for a token.
const { parameters, flopsPerToken, kvCache } = account({ ...model.config, numExperts: 2 * model.config.numExperts });
console.log(parameters, flopsPerToken, `${kvCache.bytesPerToken} bytes of cache a token`);
console.log(`hunyuan-large: ${account(presets["hunyuan-large"]).parameters.total} parameters`);
