import { Readability } from "@mozilla/readability";

const blocks = new Set(
  "ADDRESS ARTICLE ASIDE BLOCKQUOTE DD DIV DL DT FIGCAPTION FIGURE FOOTER H1 H2 H3 H4 H5 H6 HEADER HR LI MAIN NAV OL P PRE SECTION TABLE TR UL".split(
    " ",
  ),
);
const silent = new Set(["SCRIPT", "STYLE", "NOSCRIPT", "TEMPLATE", "SVG", "IFRAME", "OBJECT", "HEAD"]);

/** The article of a page as text, or all its text where there is no article. A parsed document runs and loads nothing. */
export function readHtml(html: string): string {
  const page = new DOMParser().parseFromString(withoutHandlers(html), "text/html");
  const article = new Readability<Node>(page.cloneNode(true) as Document, { serializer: (node) => node }).parse();
  const body = article?.content ?? page.body;
  const title = article?.title?.trim() ?? page.title.trim();
  return [title, textOf(body)].filter((part) => part !== "").join("\n\n");
}

/** Handlers would not run, but the browser would report each as a breach of the page's policy. */
function withoutHandlers(html: string): string {
  return html.replace(/<[a-z][^>]*>/gi, (tag) => tag.replace(/([\s"'/])on\w+\s*=/gi, "$1data-handler="));
}

function textOf(root: Node): string {
  const parts: string[] = [];
  const visit = (node: Node, isVerbatim: boolean): void => {
    if (node.nodeType === Node.TEXT_NODE) {
      const text = node.nodeValue ?? "";
      parts.push(isVerbatim ? text : text.replace(/\s+/g, " "));
      return;
    }
    const name = node.nodeName.toUpperCase();
    if (silent.has(name)) return;
    if (name === "BR") parts.push("\n");
    const isBlock = blocks.has(name);
    if (isBlock) parts.push("\n\n");
    if (name === "LI") parts.push("- ");
    for (const child of node.childNodes) visit(child, isVerbatim || name === "PRE");
    if (name === "TD" || name === "TH") parts.push("\t");
    if (isBlock) parts.push("\n\n");
  };
  visit(root, false);
  return parts
    .join("")
    .replace(/- \n+/g, "- ")
    .replace(/\n[ ]+/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}
