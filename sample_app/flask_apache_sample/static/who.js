// Ask /api/info many times and show how often each process answered.
"use strict";

const section = document.getElementById("who");
const button = section.querySelector("button");
const summary = section.querySelector(".summary");
const list = section.querySelector(".shares");
const REQUESTS = Number(section.dataset.requests);
const AT_ONCE = 6;

function element(className, ...children) {
  const made = document.createElement("div");
  made.className = className;
  made.append(...children);
  return made;
}

function show(tally, answered) {
  const shares = [...tally.values()].sort((a, b) => b.count - a.count);
  list.replaceChildren(
    ...shares.map(({ pid, pool, release, count }) => {
      const fill = element("fill");
      fill.style.setProperty("--share", `${(100 * count) / answered}%`);
      const item = document.createElement("li");
      item.append(
        element("label", `Process ${pid}, pool ${pool}, release ${release}`, element("count", `${count} of ${answered}`)),
        element("track", fill),
      );
      if (pool.includes("green")) item.className = "green";
      else if (pool.includes("blue")) item.className = "blue";
      return item;
    }),
  );
}

async function ask() {
  const tally = new Map();
  let sent = 0;
  let answered = 0;
  let failed = 0;

  async function askUntilDone() {
    while (sent < REQUESTS) {
      sent += 1;
      try {
        const response = await fetch(section.dataset.url, { cache: "no-store" });
        if (!response.ok) throw new Error(response.statusText);
        const facts = await response.json();
        const key = `${facts.pid} ${facts.release}`;
        const share = tally.get(key) ?? { ...facts, count: 0 };
        share.count += 1;
        tally.set(key, share);
        answered += 1;
        show(tally, answered);
      } catch {
        failed += 1;
      }
    }
  }

  button.disabled = true;
  await Promise.all(Array.from({ length: AT_ONCE }, askUntilDone));
  button.disabled = false;
  const processes = tally.size === 1 ? "one process" : `${tally.size} processes`;
  summary.textContent = `${processes} answered ${answered} requests; ${failed || "none"} failed.`;
}

button.addEventListener("click", ask);
section.hidden = false;
