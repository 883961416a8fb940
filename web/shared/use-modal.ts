import { useLayoutEffect, useRef } from "preact/hooks";

/** A dialog that is shown while `isOpen`; it gives the focus back, and closes at a click beside it. */
export function useModal(isOpen = true) {
  const dialog = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  useLayoutEffect(() => {
    const element = dialog.current;
    // What lies beside its contents belongs to the dialog itself.
    const onClick = (event: MouseEvent) => {
      if (event.target === element) element?.requestClose();
    };
    element?.addEventListener("click", onClick);
    return () => element?.removeEventListener("click", onClick);
  }, []);
  return dialog;
}
