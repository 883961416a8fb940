/** The names of the elements of an XML document, in order. @throws Error where a tag, an attribute or an entity is not well-formed. */
export function wellFormedElements(xml: string): string[] {
  const names: string[] = [];
  const open: string[] = [];
  const tag = /<(\/?)([a-zA-Z][\w-]*)((?:\s+[a-zA-Z][\w:-]*="[^"<]*")*)\s*(\/?)>/y;
  const text = /[^<]+/y;
  const checkText = (part: string) => {
    const bare = part.replace(/&(?:amp|lt|gt|quot|apos);/g, "");
    if (/[&>]/.test(bare)) throw new Error(`a bare character in ${JSON.stringify(part)}`);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: XML 1.0 allows none of these
    if (/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/.test(part)) throw new Error("a control character");
  };
  for (let at = 0; at < xml.length; ) {
    tag.lastIndex = at;
    text.lastIndex = at;
    const found = tag.exec(xml);
    if (!found) {
      const words = text.exec(xml);
      if (!words) throw new Error(`no tag at ${JSON.stringify(xml.slice(at, at + 40))}`);
      if (open.length === 0 && words[0].trim() !== "") throw new Error("text outside the root");
      checkText(words[0]);
      at = text.lastIndex;
      continue;
    }
    const [, closes, name = "", attributes = "", isEmpty] = found;
    if (closes && open.pop() !== name) throw new Error(`</${name}> closes something else`);
    if (!closes) {
      checkText(attributes.replaceAll('"', ""));
      names.push(name);
      if (!isEmpty) open.push(name);
    }
    at = tag.lastIndex;
  }
  if (open.length > 0) throw new Error(`<${open.at(-1)}> is not closed`);
  return names;
}
