/** What keeps a document from being read, as the end of a line that begins with its path. */
export class DocumentFault extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}
