// Copying a text, or selecting it where a page may not copy by itself.

import { note } from './dialog.ts';

/** `shown` is where the text stands on the page. */
export async function copyText(text: string, shown: HTMLElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    note('news', 'Copied');
  } catch {
    if (shown instanceof HTMLInputElement) shown.select();
    else getSelection()?.selectAllChildren(shown);
    note('news', 'Selected', 'Copy it with your device’s own copy command.');
  }
}
