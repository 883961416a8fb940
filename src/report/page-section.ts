/** The page with `body` between its two marks, which stay; undefined for a page without them. */
export function replaceSection(
  page: string,
  [begin, end]: readonly [string, string],
  body: string,
): string | undefined {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  return from < 0 || to < from ? undefined : page.slice(0, from) + begin + body + page.slice(to);
}
