import { openHttp } from '../http-link.ts';
import type { Preloaded } from '../later.ts';
import { membershipOf } from '../membership.ts';
import { before, history } from '../past.ts';
import { planRenewal } from '../renewal.ts';
import { checkPublish, rulesOf, validate } from '../schema.ts';

/** All that is loaded when it is first wanted. Loading it would take real time, of which there is none here. */
export const CODE: Preloaded = {
  _openHttp: openHttp,
  _code: {
    past: { before, history },
    membership: { membershipOf },
    schema: { checkPublish, rulesOf, validate },
    renewal: { planRenewal },
  },
};
