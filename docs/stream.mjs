const socket = new WebSocket(process.argv[2]);
const waiting = new Map(); // by id
let last = 0;

const ask = (op, fields) => new Promise((resolve) => {
  waiting.set(++last, resolve);
  socket.send(JSON.stringify({ id: last, op, ...fields }));
});

socket.onmessage = ({ data }) => {
  for (const answer of [JSON.parse(data)].flat()) {
    waiting.get(answer.id)?.(answer);
    waiting.delete(answer.id);
  }
};

socket.onopen = async () => {
  const one = await ask("lock", { uid: "one", keys: "report", exp: 60000, bind: true });
  const two = ask("lock", { uid: "two", keys: "report", exp: 60000, wait: 10000 }); // stands in line
  await ask("unlock", { uid: "one", tokens: one.tokens });
  const { status, tokens } = await two;
  console.log(status, tokens[0].key, tokens[0].version > one.tokens[0].version);
  await ask("unlock", { uid: "two", tokens });
  socket.close();
};
