"use client";

import { useEffect, useState } from "react";

const EVERY_MS = 2000;
const KEPT = 40;

/** Asks the server which release answers, shows it, and how long each answer took. */
export function Pulse({ first }) {
  const [release, setRelease] = useState(first);
  const [beats, setBeats] = useState([]);

  useEffect(() => {
    let timer;
    let ended = false;
    async function beat() {
      const begin = performance.now();
      const answer = await ask();
      if (ended) return;
      if (answer) setRelease(answer);
      const took = Math.max(1, Math.round(performance.now() - begin));
      setBeats((former) => [...former, answer ? took : null].slice(-KEPT));
      timer = setTimeout(beat, EVERY_MS);
    }
    beat();
    return () => {
      ended = true;
      clearTimeout(timer);
    };
  }, []);

  const last = beats.at(-1);
  const state = beats.length === 0 ? "Asking" : last === null ? "No answer" : "Healthy";
  return (
    <section aria-label="The live release">
      <p className="state" data-state={state} role="status">
        {state}
      </p>
      <dl>
        <Fact name="Build" value={release.build} />
        <Fact name="Version" value={release.version} />
        <Fact name="Process" value={release.pid} />
        <Fact name="Node" value={release.node} />
      </dl>
      <figure>
        <Bars beats={beats} />
        <figcaption>
          {last ? `Last answer in ${last} ms` : "Waiting for an answer"}
          <span>one bar every {EVERY_MS / 1000} s</span>
        </figcaption>
      </figure>
    </section>
  );
}

function Fact({ name, value }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function Bars({ beats }) {
  const longest = Math.max(20, ...beats);
  return (
    <svg viewBox={`0 0 ${KEPT * 5} 40`} preserveAspectRatio="none" aria-hidden="true">
      {beats.map((took, index) => {
        const height = took === null ? 40 : Math.max(2, (took / longest) * 40);
        const x = (KEPT - beats.length + index) * 5;
        return <rect key={x} x={x} y={40 - height} width="3.5" height={height} data-lost={took === null} />;
      })}
    </svg>
  );
}

async function ask() {
  try {
    const answer = await fetch("/api/release", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}
