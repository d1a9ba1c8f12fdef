import { defineConfig } from 'vitest/config';

// Real pages in a real browser against the real hub: `npm run test:browser`.
export default defineConfig({
  test: {
    include: ['browser-tests/**/*.test.ts'],
    testTimeout: 90_000,
    hookTimeout: 60_000,
    fileParallelism: false,
  },
});
