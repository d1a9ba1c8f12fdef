/** A fake hub on virtual time, for tests of applications that use this package. */
export { type AdvancedClock, globalClock, type SchedulerLike, schedulerClock, VirtualClock } from './clock.ts';
export { type FakeChannel, type FakeConnection, FakeHub, type FakeHubOptions } from './hub.ts';
export type { FakeTransport, Identity, Received, Right, Who } from './world.ts';
