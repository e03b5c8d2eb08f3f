// Opens the desktop of a .vv file, as virt-viewer gets them from a portal:
// host, ports, ticket, certificate authority and pinned subject stand in it.
//
//   deskstorm k6 run -e FILE=desktop.vv vv.js
import vdi from 'k6/x/vdi';

export const options = { iterations: 1 };

const file = open(__ENV.FILE || './desktop.vv'); // the text; a path does as well

export default async function () {
  const desk = await vdi.connect({ file });
  console.log(JSON.stringify(desk.timings));
  console.log(JSON.stringify(await desk.probe()));
  await desk.disconnect();
}
