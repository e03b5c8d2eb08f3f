// A shift: every thin client comes in the morning, logs in to its desktop, works there by a profile and leaves at the
// shift's end. It is the same for simulated desktops and real ones.
//
//   deskstorm k6 run -e DESKSTORM_DESKTOPS=10.0.0.7:5901,10.0.0.7:5902 -e DESKSTORM_DURATION=5m shift.js
//
// From the environment, or by -e:
//   DESKSTORM_DESKTOPS  the desktops' SPICE ports, [site=]host:port, separated by commas; a thin client for each
//   DESKSTORM_PROFILE   the workload profile: callcenter (default), office or idle
//   DESKSTORM_DURATION  length of the shift, such as 90s or 8h; default 1m
//   DESKSTORM_RAMP      how long people keep coming; default a sixth of the shift. Each comes at a normally distributed
//                       moment of it, which depends on the thin client's number alone: it is the same in each run.
//   DESKSTORM_TICKET    the ticket of all desktops; default none. Other users of the machine can read a command line:
//                       export it.
//   DESKSTORM_CA        the file of the CA that signed the desktops' certificates; the ports are TLS ports then
//
// A thin client whose session ends early, or that cannot log in, goes home: that is counted, and not tried again.
// Metrics are those of k6/x/vdi, and vdi_wait: how long a person waited for the desktop, from the first packet to the
// first picture.
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Trend } from 'k6/metrics';
import vdi from 'k6/x/vdi';

const profile = __ENV.DESKSTORM_PROFILE || 'callcenter';
const shift = milliseconds(__ENV.DESKSTORM_DURATION || '1m');
const ramp = __ENV.DESKSTORM_RAMP ? milliseconds(__ENV.DESKSTORM_RAMP) : shift / 6;
const desktops = (__ENV.DESKSTORM_DESKTOPS || '').split(',').filter((d) => d.trim() !== '').map(parseDesktop);
if (desktops.length === 0) throw new Error('name the desktops: DESKSTORM_DESKTOPS=host:port,...');
if (ramp > shift) throw new Error('DESKSTORM_RAMP is longer than DESKSTORM_DURATION');

const wait = new Trend('vdi_wait', true);

export const options = {
  scenarios: {
    shift: {
      executor: 'per-vu-iterations',
      vus: desktops.length,
      iterations: 1,
      maxDuration: `${Math.ceil(shift / 1000) + 30}s`, // those who are still logging in at the end get their 30 s
      gracefulStop: '2s',
    },
  },
  thresholds: {
    vdi_connect_failed: ['rate<0.01'],
    vdi_lost: ['rate<0.01'],
    'vdi_round_trip{step:visible}': ['p(95)<150'], // an estimate of where typing begins to feel slow
  },
};

export default async function () {
  const number = exec.vu.idInTest - 1; // of all load generators, where there are several
  const desktop = desktops[number % desktops.length];
  sleep(arrival(number) / 1000);
  let desk;
  try {
    desk = await vdi.connect(desktop);
    wait.add(desk.timings.total, desktop.site ? { site: desktop.site } : {});
    const left = exec.scenario.startTime + shift - Date.now();
    if (left > 0) await desk.work(profile, left);
  } catch (error) {
    if (!error.kind) throw error; // the script's own mistake
    if (error.kind !== 'stopped') console.warn(`thin client ${number + 1}: ${error.message} (${error.kind})`);
  } finally {
    if (desk) await desk.disconnect();
  }
}

// arrival is the moment at which a thin client comes, in milliseconds after the shift's start: normally distributed
// about the ramp's middle, with a sixth of it as standard deviation. The sum of 12 uniform numbers is nearly normal and
// never leaves the ramp.
function arrival(number) {
  const random = generator(number);
  let sum = 0;
  for (let i = 0; i < 12; i++) sum += random();
  return Math.min(ramp, Math.max(0, ramp * (0.5 + (sum - 6) / 6)));
}

// generator gives numbers from 0 to below 1 that depend on the seed alone: a 32-bit counter, mixed by MurmurHash3's
// finalizer.
function generator(seed) {
  let state = Math.imul(seed + 1, 0x9e3779b1);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 0) / 2 ** 32;
  };
}

// parseDesktop reads [site=]host:port; an IPv6 host stands in brackets.
function parseDesktop(text) {
  const parts = /^(?:([^=]+)=)?(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text.trim());
  if (!parts) throw new Error(`DESKSTORM_DESKTOPS: "${text}" is not [site=]host:port`);
  const [, site, v6, host, port] = parts;
  const desktop = { host: v6 || host };
  desktop[__ENV.DESKSTORM_CA ? 'tlsPort' : 'port'] = Number(port);
  if (site) desktop.site = site;
  if (__ENV.DESKSTORM_TICKET) desktop.ticket = __ENV.DESKSTORM_TICKET;
  if (__ENV.DESKSTORM_CA) desktop.ca = __ENV.DESKSTORM_CA;
  return desktop;
}

// milliseconds reads a duration such as 1h30m, 90s or 500ms.
function milliseconds(text) {
  const units = { h: 3600e3, m: 60e3, s: 1e3, ms: 1 };
  if (!/^(\d+(\.\d+)?(ms|h|m|s))+$/.test(text)) throw new Error(`"${text}" is not a duration such as 90s`);
  return [...text.matchAll(/([\d.]+)(ms|h|m|s)/g)].reduce((sum, [, n, unit]) => sum + Number(n) * units[unit], 0);
}
