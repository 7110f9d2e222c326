// Makes the replica set and the user of the services, once; run again it
// changes nothing. The passwords are read from files.
const fs = require("fs");
const secret = (name) => fs.readFileSync("/run/secrets/" + name, "utf8").trim();
const address = (host, options) =>
  "mongodb://root:" + secret("mongo-root.password") + "@" + host + "/admin?authSource=admin&tls=true&tlsCAFile=/run/secrets/ca.pem&" + options;

const first = connect(address("mongo-1:27017", "directConnection=true"));
try {
  first.adminCommand({ replSetGetStatus: 1 });
} catch (e) {
  if (e.codeName !== "NotYetInitialized") throw e;
  first.adminCommand({
    replSetInitiate: { _id: "onrecord", members: [1, 2, 3].map((n) => ({ _id: n, host: "mongo-" + n + ":27017", priority: n === 1 ? 2 : 1 })) },
  });
}

// Waits for a primary.
const set = connect(address("mongo-1:27017,mongo-2:27017,mongo-3:27017", "replicaSet=onrecord&serverSelectionTimeoutMS=60000"));
const onrecord = set.getSiblingDB("onrecord");
if (onrecord.getUser("onrecord") === null) {
  onrecord.createUser({ user: "onrecord", pwd: secret("mongo-onrecord.password"), roles: [{ role: "readWrite", db: "onrecord" }] });
}
print("the replica set and the user are there");
