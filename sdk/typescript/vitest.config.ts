import { defineConfig } from 'vitest/config';

// unit: virtual time, no sockets. contract: the real hub's binary (FANFARE_BIN, or the one that cargo built).
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.{ts,tsx}'],
          exclude: ['test/contract/**'],
          typecheck: { enabled: false },
        },
      },
      {
        test: {
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 30_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
