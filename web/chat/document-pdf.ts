import { GlobalWorkerOptions, getDocument } from "pdfjs-dist";
import { DocumentError } from "./document.ts";

GlobalWorkerOptions.workerSrc = new URL("assets/pdf-worker.js", document.baseURI).href;

/** The text of a PDF, page after page. Its parsing runs in a worker; nothing in the file is run, drawn or fetched. */
export async function readPdf(bytes: ArrayBuffer, onPage: (page: number, pages: number) => void): Promise<string> {
  const loading = getDocument({
    data: bytes,
    // Chinese, Japanese and Korean files may name tables of characters instead of holding them.
    cMapUrl: new URL("assets/cmaps/", document.baseURI).href,
    cMapPacked: true,
    useSystemFonts: false,
    disableFontFace: true,
    enableXfa: false,
    stopAtErrors: false,
  });
  loading.onPassword = () => {
    loading.destroy();
  };
  try {
    const pdf = await loading.promise;
    const pages: string[] = [];
    for (let number = 1; number <= pdf.numPages; number++) {
      onPage(number, pdf.numPages);
      const page = await pdf.getPage(number);
      const { items } = await page.getTextContent();
      pages.push(items.map((item) => ("str" in item ? item.str + (item.hasEOL ? "\n" : "") : "")).join(""));
      page.cleanup();
    }
    return pages.join("\n\n");
  } catch (error) {
    if (error instanceof Error && /destroyed|password/i.test(error.message)) {
      throw new DocumentError("This PDF is locked with a password.");
    }
    throw error;
  } finally {
    await loading.destroy();
  }
}
