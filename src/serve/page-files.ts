/** The files of the pages: in the package as `prepack` has bundled them, in a clone bundled from web/ when first asked for. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { RookeryError } from "../base/errors.ts";

export type PageFile = {
  bytes: Uint8Array<ArrayBuffer>;
  contentType: string;
  /** A strong ETag, quotes included. */
  etag: string;
};

/** By path: "chat.html", "training.html", "review.html", and what they ask for as "assets/NAME". */
export type PageFiles = ReadonlyMap<string, PageFile>;

const contentTypes: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".bcmap": "application/octet-stream",
};

let loaded: Promise<PageFiles> | undefined;

/** @throws RookeryError MISSING_DEPENDENCY in a clone without esbuild; an error of esbuild for sources that cannot be bundled. */
export function loadPageFiles(): Promise<PageFiles> {
  loaded ??= path.extname(import.meta.filename) === ".ts" ? bundledFiles() : Promise.resolve(packagedFiles());
  return loaded;
}

function packagedFiles(): PageFiles {
  const folder = path.join(import.meta.dirname, "..", "web");
  const names = fs.readdirSync(folder, { recursive: true, encoding: "utf8" });
  const files = names.filter((name) => path.extname(name) !== "");
  return new Map(
    files.map((name) => [name.split(path.sep).join("/"), pageFile(name, fs.readFileSync(path.join(folder, name)))]),
  );
}

async function bundledFiles(): Promise<PageFiles> {
  const files = await bundlePages(path.join(import.meta.dirname, "..", "..", "web"));
  return new Map([...files].map(([name, bytes]) => [name, pageFile(name, bytes)]));
}

function pageFile(name: string, bytes: Uint8Array): PageFile {
  return {
    bytes: new Uint8Array(bytes),
    contentType: contentTypes[path.extname(name)] ?? "application/octet-stream",
    etag: `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 22)}"`,
  };
}

/**
 * Bundles the pages in `source`, the folder web/ of a clone. The readers of PDF and HTML become files of their own,
 * which a browser fetches when a document is dropped.
 */
export async function bundlePages(source: string): Promise<Map<string, Uint8Array>> {
  const esbuild = await import("esbuild").catch((cause: unknown) => {
    throw new RookeryError(
      "MISSING_DEPENDENCY",
      "the pages cannot be bundled: esbuild is not installed",
      "run npm ci",
      {
        cause,
      },
    );
  });
  const { outputFiles } = await esbuild.build({
    entryPoints: {
      chat: path.join(source, "chat", "main.tsx"),
      training: path.join(source, "training", "main.tsx"),
      review: path.join(source, "review", "main.tsx"),
      "theme-early": path.join(source, "shared", "theme-early.ts"),
      "pdf-worker": path.join(source, "chat", "pdf-worker.ts"),
    },
    outdir: path.join(source, "assets"),
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2023",
    minify: true,
    legalComments: "none",
    charset: "utf8",
    jsx: "automatic",
    jsxImportSource: "preact",
    // pdf.js names parts of Node that it uses only there
    external: ["module", "fs", "url"],
    write: false,
    logLevel: "silent",
  });
  const files = new Map(outputFiles.map(({ path: file, contents }) => [`assets/${path.basename(file)}`, contents]));
  const shell = fs.readFileSync(path.join(source, "shared", "page.html"), "utf8");
  for (const page of ["chat", "training", "review"]) {
    files.set(`${page}.html`, Buffer.from(shell.replaceAll("PAGE", page)));
  }
  files.set("assets/icon.svg", fs.readFileSync(path.join(source, "shared", "icon.svg")));
  const characterMaps = path.join(source, "..", "node_modules", "pdfjs-dist", "cmaps");
  for (const name of fs.readdirSync(characterMaps).filter((one) => one.endsWith(".bcmap"))) {
    files.set(`assets/cmaps/${name}`, fs.readFileSync(path.join(characterMaps, name)));
  }
  return files;
}
