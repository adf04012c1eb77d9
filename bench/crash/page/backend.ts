// Where a store is told to live.

export const backends = ['opfs-pool', 'indexeddb'] as const;
export type Backend = (typeof backends)[number];

/** The engine's own first choice is not named to it: what is tested then is what an app gets that asks for nothing. */
export const backendOption = (backend: Backend): { readonly backends?: readonly Backend[] } =>
  backend === 'opfs-pool' ? {} : { backends: [backend] };
