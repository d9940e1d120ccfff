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
          It got its first request only after it had answered its health gate. The page was made by the server for
          you; the line below asks it again and again.
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
