/** Accelerators by name: dense peaks without sparsity, memory and its bandwidth, as their makers print them. */

export type Accelerator = {
  title: string;
  /** bf16 FLOPs a second. */
  peakFlops: number;
  memoryBytes: number;
  bytesPerSecond: number;
  /** Devices that are joined closely enough for tensor parallelism. */
  devicesPerNode: number;
  source: string;
};

export const accelerators = {
  "a100-80": {
    title: "NVIDIA A100 SXM 80 GB",
    peakFlops: 312e12,
    memoryBytes: 80e9,
    bytesPerSecond: 2.039e12,
    devicesPerNode: 8,
    source: "NVIDIA A100 data sheet, 2021",
  },
  "h100-sxm": {
    title: "NVIDIA H100 SXM",
    peakFlops: 989e12,
    memoryBytes: 80e9,
    bytesPerSecond: 3.35e12,
    devicesPerNode: 8,
    source: "NVIDIA H100 data sheet, 2023 (printed with sparsity: 1,979e12)",
  },
  "h200-sxm": {
    title: "NVIDIA H200 SXM",
    peakFlops: 989e12,
    memoryBytes: 141e9,
    bytesPerSecond: 4.8e12,
    devicesPerNode: 8,
    source: "NVIDIA H200 data sheet, 2024",
  },
  h20: {
    title: "NVIDIA H20",
    peakFlops: 148e12,
    memoryBytes: 96e9,
    bytesPerSecond: 4.0e12,
    devicesPerNode: 8,
    source: "NVIDIA HGX H20 data sheet, 2023",
  },
  b200: {
    title: "NVIDIA B200 (HGX)",
    peakFlops: 2250e12,
    memoryBytes: 180e9,
    bytesPerSecond: 7.7e12,
    devicesPerNode: 8,
    source: "NVIDIA Blackwell data sheet, 2024 (HGX B200, an eighth of the board)",
  },
  mi300x: {
    title: "AMD Instinct MI300X",
    peakFlops: 1307e12,
    memoryBytes: 192e9,
    bytesPerSecond: 5.3e12,
    devicesPerNode: 8,
    source: "AMD Instinct MI300X data sheet, 2023",
  },
  "tpu-v5p": {
    title: "Google TPU v5p",
    peakFlops: 459e12,
    memoryBytes: 95e9,
    bytesPerSecond: 2.765e12,
    devicesPerNode: 4,
    source: "Google Cloud documentation, TPU v5p",
  },
} as const satisfies Record<string, Accelerator>;

export type AcceleratorName = keyof typeof accelerators;
export const acceleratorNames = Object.keys(accelerators) as [AcceleratorName, ...AcceleratorName[]];
