// One thin client types on one desktop and measures its three round trips.
//
//   deskstorm k6 run -e HOST=127.0.0.1 -e PORT=5900 -e TICKET=secret typing.js
import vdi from 'k6/x/vdi';

export const options = {
  iterations: 1,
  thresholds: {
    'vdi_round_trip{step:visible}': ['p(95)<200'],
    vdi_lost: ['rate==0'],
  },
};

export default async function () {
  const desk = await vdi.connect({
    host: __ENV.HOST || '127.0.0.1',
    port: Number(__ENV.PORT || 5900),
    ticket: __ENV.TICKET,
  });
  console.log(`a ${desk.width}x${desk.height} desktop after ${desk.timings.total.toFixed(1)} ms`);

  await desk.type('The quick brown fox jumps over the lazy dog.\n', { wpm: 80 });

  for (let i = 0; i < 5; i++) {
    const trip = await desk.probe();
    console.log(`server ${trip.server} ms, guest ${trip.guest} ms, visible ${trip.visible} ms`);
  }
  await desk.disconnect();
}
