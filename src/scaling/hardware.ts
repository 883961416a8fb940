/** Devices, days and money that a training takes. */

import { RookeryError } from "../base/errors.ts";
import type { ModelConfig } from "../model/config.ts";
import { type Accelerator, type AcceleratorName, accelerators } from "./accelerators.ts";
import { chooseLayout, fewestDevices, type Layout } from "./layout.ts";

export type Hardware = {
  accelerator: AcceleratorName;
  title: string;
  source: string;
  devices: number;
  utilization: number;
  days: number;
  deviceHours: number;
  cost: number | null;
  layout: Layout;
  fewestDevices: number | null;
};

const defaultDays = 90;
const secondsPerDay = 86_400;
export const mostDevices = 2 ** 20;

/** FLOPs a second of a device as it is used. */
export function rateOf({ peakFlops }: Accelerator, utilization: number): number {
  return peakFlops * utilization;
}

/** Of a plan's options, those that say on what to train. */
export type HardwareOptions = {
  accelerator: AcceleratorName;
  utilization: number;
  sequenceLength: number;
  devices?: number | undefined;
  days?: number | undefined;
  pricePerHour?: number | undefined;
};

/**
 * Devices, the days that `compute` FLOPs take on them, and the cost. Without `devices` as many as `days` asks for, by default at most
 * 90 of them, on which the model fits and none of which its layout leaves idle.
 * @throws RookeryError INVALID_OPTION for days that no number of devices keeps to.
 */
export function planHardware(config: ModelConfig, compute: number, options: HardwareOptions): Hardware {
  const { accelerator, utilization, sequenceLength, days, pricePerHour } = options;
  const device = accelerators[accelerator];
  const secondsOnOne = compute / rateOf(device, utilization);
  const fewest = fewestDevices(config, device, sequenceLength);
  const needed = Math.ceil(secondsOnOne / secondsPerDay / (days ?? defaultDays));
  if (options.devices === undefined && days !== undefined && needed > mostDevices) {
    throw new RookeryError(
      "INVALID_OPTION",
      `${compute.toExponential(2)} FLOPs in ${days} days take more than ${mostDevices} ${device.title}`,
      "give more --days",
    );
  }
  const layoutOn = (count: number) => chooseLayout(config, device, count, sequenceLength);
  const layout =
    options.devices === undefined
      ? fullLayout(Math.max(1, fewest ?? 1, Math.min(needed, mostDevices)), device, layoutOn)
      : layoutOn(options.devices);
  const devices = options.devices ?? layout.devices;
  const deviceHours = secondsOnOne / 3600;
  return {
    accelerator,
    title: device.title,
    source: device.source,
    devices,
    utilization,
    days: deviceHours / 24 / devices,
    deviceHours,
    cost: pricePerHour === undefined ? null : deviceHours * pricePerHour,
    layout,
    fewestDevices: fewest,
  };
}

/** The layout on the first count from `least` on, in whole nodes past the first, that uses all of its devices. */
function fullLayout(least: number, { devicesPerNode }: Accelerator, layoutOn: (count: number) => Layout): Layout {
  for (let count = least; count <= 2 * least; count++) {
    const whole = count <= devicesPerNode ? count : Math.ceil(count / devicesPerNode) * devicesPerNode;
    const layout = layoutOn(whole);
    if (layout.devices === whole) return layout;
    count = whole;
  }
  return layoutOn(least);
}
