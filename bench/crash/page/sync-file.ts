// A file of the origin's private file system as a worker holds it, and the one place where all of them can be wrapped: the engine and SQLite's pool
// stay as they are shipped, and what they hold is ours.

/** FileSystemSyncAccessHandle, as far as the pool uses it. */
export interface SyncFile {
  read(buffer: ArrayBufferView, options?: { readonly at?: number }): number;
  write(buffer: ArrayBufferView, options?: { readonly at?: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

/** Every file that is opened from now on is `wrap`ped first. */
export function wrapFiles(wrap: (file: SyncFile) => SyncFile): void {
  const handles = FileSystemFileHandle.prototype as unknown as { createSyncAccessHandle(): Promise<SyncFile> };
  const open = handles.createSyncAccessHandle;
  handles.createSyncAccessHandle = async function createSyncAccessHandle() {
    return wrap(await open.call(this));
  };
}

export const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => new Uint8Array(buffer, byteOffset, byteLength);
