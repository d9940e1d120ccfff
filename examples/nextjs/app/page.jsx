import { Pulse } from "./pulse";
import { release } from "./release";

// Made for each request: the page says which release answered this one.
export const dynamic = "force-dynamic";

export default function Page() {
  return (
    <main>
      <header>
        <h1>This release is live</h1>
        <p className="lead">
          It got its first request only after it had passed its health gate. The server made this page for you, and the
          bars show how fast it answers now.
        </p>
      </header>
      <Pulse first={release()} />
      <footer>
        <a href="/api/health">/api/health</a>
        <a href="/api/release">/api/release</a>
      </footer>
    </main>
  );
}
