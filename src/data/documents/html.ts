/** Documents in HTML: the article of a page, or all of it where there is none. */
import { type HtmlNode, isHeading, readBlocks } from "./blocks.ts";
import type { DocumentContent } from "./document.ts";

/** The encoding stands in the first bytes of a page, in ASCII. */
const declaredWithin = 2048;

/** Bytes as text: by their mark, by what the page declares, as UTF-8, or else as Latin letters. */
export function decodeHtml(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder("utf-16le").decode(bytes);
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder("utf-16be").decode(bytes);
  const beginning = new TextDecoder("latin1").decode(bytes.subarray(0, declaredWithin));
  const declared = /<(?:meta|\?xml)[^>]*?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)/i.exec(beginning)?.[1];
  for (const encoding of [declared, "utf-8"]) {
    if (encoding === undefined) continue;
    try {
      return new TextDecoder(encoding, { fatal: true }).decode(bytes);
    } catch {
      // an encoding that does not exist, or is not that of the page
    }
  }
  return new TextDecoder("windows-1252").decode(bytes);
}

type PageElement = HtmlNode & {
  readonly childNodes: Iterable<PageElement>;
  readonly parentNode: PageElement | null;
  append(...nodes: PageElement[]): void;
  replaceWith(node: PageElement): void;
};

type HtmlPage = {
  readonly body: HtmlNode | null;
  readonly title: string;
  querySelectorAll(selector: string): Iterable<PageElement>;
  createElement(name: string): PageElement;
};

async function parsePage(html: string): Promise<HtmlPage> {
  const { parseHTML } = await import("linkedom");
  // without a root the library makes a document out of the first element alone
  const whole = /<html[\s>]/i.test(html) ? html : `<!doctype html><html><head></head><body>${html}</body></html>`;
  return parseHTML(whole).document as unknown as HtmlPage;
}

/** Nothing in the page runs, and nothing is loaded. */
export async function readHtml(bytes: Uint8Array): Promise<DocumentContent> {
  const html = decodeHtml(bytes);
  const { Readability } = await import("@mozilla/readability");
  const page = await parsePage(html);
  // the reader of articles takes a page apart: `page` is read where it finds none
  const forReader = await parsePage(html);
  protectHeadings(forReader);
  const article = new Readability<HtmlNode>(forReader as never, {
    serializer: (node) => node as unknown as HtmlNode,
  }).parse();
  const title = (page.title.trim() || article?.title?.trim() || "").replace(/\s+/g, " ");
  return { title: title === "" ? null : title, ...bodyOf(article?.content, page.body), flags: [] };
}

/**
 * The reader of articles removes headings of the first two levels that say what the title says, and boxes that hold little but a
 * heading, as DocBook puts around each of its own: so all become headings of the third level, out of their boxes.
 */
function protectHeadings(page: HtmlPage): void {
  for (const heading of page.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    const plain = page.createElement("h3");
    plain.append(...heading.childNodes);
    let outermost = heading;
    for (let box = heading.parentNode; box !== null && holdsOnly(box, outermost); box = box.parentNode) outermost = box;
    outermost.replaceWith(plain);
  }
}

function holdsOnly(box: PageElement, content: PageElement): boolean {
  if (!/^(DIV|HEADER|HGROUP)$/i.test(box.nodeName)) return false;
  for (const node of box.childNodes) {
    if (node === content) continue;
    const isEmpty = (node.nodeValue ?? "").trim() === "" && [...node.childNodes].length === 0;
    if (!isEmpty || isHeading(node.nodeName.toUpperCase())) return false;
  }
  return true;
}

function bodyOf(article: HtmlNode | null | undefined, body: HtmlNode | null): ReturnType<typeof readBlocks> {
  const found = article ? readBlocks(article) : undefined;
  if (found !== undefined && found.sections.length > 0) return found;
  return body === null ? { sections: [], tables: [] } : readBlocks(body);
}

/** A piece of HTML that is all content, as other readers make it. */
export async function readFragment(html: string): Promise<ReturnType<typeof readBlocks>> {
  const { body } = await parsePage(`<!doctype html><html><head></head><body>${html}</body></html>`);
  return bodyOf(undefined, body);
}
