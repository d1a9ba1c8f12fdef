import path from 'node:path';
import { defineConfig } from 'vitest/config';

// The package as it is published, in place of its sources: private names are short in dist/, and what is loaded later is in files of its own.
const published = {
  alias: [
    {
      find: /^\.\.\/\.\.\/src\/((?:testing\/|react\/|rxjs\/)?index)\.ts$/,
      replacement: path.join(import.meta.dirname, 'dist/$1.js'),
    },
  ],
};

// unit: virtual time, no sockets. dist: those that need no more than the package, on what `npm run build` made. contract: the same against the
// real hub's binary (FANFARE_BIN, or the one that cargo built).
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
        resolve: published,
        test: {
          name: 'dist',
          include: [
            'test/{testing,react,rxjs}/*.test.{ts,tsx}',
            'test/core/{call,chaos*,handover,identity,tabs}.test.ts',
          ],
        },
      },
      {
        resolve: published,
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
