import { defineConfig } from 'vitest/config';

// Real pages in a real browser against the real hub: `npm run test:browser`.
export default defineConfig({
  test: {
    include: ['browser-tests/**/*.test.ts'],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    // The files run one after the other in one place, so that what they import is loaded once.
    isolate: false,
    fileParallelism: false,
  },
});
