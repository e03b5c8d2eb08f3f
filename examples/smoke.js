// The shortest script that uses the module: nothing listens on port 1, and the
// module says so with an error of the right kind. It needs no desktop.
import vdi from 'k6/x/vdi';
import { check } from 'k6';

export const options = {
  iterations: 1,
  thresholds: { checks: ['rate==1'], vdi_connect_failed: ['rate==1'] },
};

export default async function () {
  let error;
  try {
    await vdi.connect({ host: '127.0.0.1', port: 1, timeout: '5s' });
  } catch (e) {
    error = e;
  }
  check(error, {
    'a connect to nobody fails': (e) => e !== undefined,
    'at the step link': (e) => e.step === 'link',
    'because of the network': (e) => e.kind === 'network',
  });
}
