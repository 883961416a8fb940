/** Model output as markup. It is hostile: what comes out of here can be looked at, and nothing more. */
import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { memo } from "preact/compat";
import { useMemo, useState } from "preact/hooks";
import { IconCheck, IconCopy } from "../shared/icons.tsx";

// Raw HTML is shown as it is written; addresses become links only where they are marked as such.
const markdown = new MarkdownIt({ html: false, linkify: false, breaks: false });

markdown.renderer.rules.image = (tokens, index) => {
  const { content } = tokens[index]!;
  const text = content === "" ? "image" : `image: ${content}`;
  return `<span class="no-image">[${markdown.utils.escapeHtml(text)}]</span>`;
};

// Each block and each cell runs in the direction of its first letter; what lies inside a block follows it.
const directed = "paragraph heading bullet_list ordered_list blockquote th td";
for (const rule of directed.split(" ").map((name) => `${name}_open`)) {
  markdown.renderer.rules[rule] = (tokens, index, options, _environment, renderer) => {
    const token = tokens[index]!;
    if (token.level === 0 || rule.startsWith("t")) token.attrSet("dir", "auto");
    return renderer.renderToken(tokens, index, options);
  };
}

const purify = DOMPurify();
purify.addHook("afterSanitizeAttributes", (element) => {
  if (element.tagName !== "A") return;
  element.setAttribute("target", "_blank");
  element.setAttribute("rel", "noopener noreferrer nofollow");
  element.setAttribute("title", element.getAttribute("href") ?? "");
});

const allowed = {
  ALLOWED_TAGS:
    "p br hr strong em s a code pre blockquote ul ol li h1 h2 h3 h4 h5 h6 table thead tbody tr th td span".split(" "),
  ALLOWED_ATTR: ["href", "dir", "start", "class"],
  // asked of every attribute but these, which hold no address
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ADD_URI_SAFE_ATTR: ["dir", "start"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

type Block = { kind: "code"; language: string; code: string } | { kind: "html"; html: string };

/** The top-level blocks of a text: while it grows, only the last ones change, so the page redraws only those. */
function blocksOf(text: string): Block[] {
  const environment = {};
  const tokens = markdown.parse(text, environment);
  const blocks: Block[] = [];
  let start = 0;
  let depth = 0;
  for (const [index, token] of tokens.entries()) {
    depth += token.nesting;
    if (depth > 0) continue;
    if (token.type === "fence" || token.type === "code_block") {
      blocks.push({ kind: "code", language: token.info.trim().split(/\s+/)[0] ?? "", code: token.content });
    } else {
      const html = markdown.renderer.render(tokens.slice(start, index + 1), markdown.options, environment);
      blocks.push({ kind: "html", html });
    }
    start = index + 1;
  }
  return blocks;
}

const HtmlBlock = memo(function HtmlBlock({ html }: { html: string }) {
  const clean = useMemo(() => purify.sanitize(html, allowed), [html]);
  return <div class="block" dangerouslySetInnerHTML={{ __html: clean }} />;
});

const CodeBlock = memo(function CodeBlock({ language, code }: { language: string; code: string }) {
  return (
    <div class="block code-block" dir="ltr">
      <div class="code-head">
        <span>{language === "" ? "text" : language.slice(0, 24)}</span>
        <CopyButton text={code} what="code" />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard */}
      <pre tabIndex={0}>
        <code>{code}</code>
      </pre>
    </div>
  );
});

export function CopyButton({ text, what }: { text: string; what: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1500);
  };
  // Only secure pages may write to the clipboard: https, and this machine itself.
  if (!globalThis.isSecureContext) return null;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={isCopied ? "Copied" : `Copy ${what}`}
      onClick={() => void copy()}
    >
      {isCopied ? <IconCheck /> : <IconCopy />}
    </button>
  );
}

export function Markdown({ text }: { text: string }) {
  const blocks = useMemo(() => blocksOf(text), [text]);
  return (
    <div class="prose">
      {blocks.map((block, index) =>
        block.kind === "code" ? (
          // a block keeps its place while the text grows
          <CodeBlock key={index} language={block.language} code={block.code} />
        ) : (
          <HtmlBlock key={index} html={block.html} />
        ),
      )}
    </div>
  );
}
