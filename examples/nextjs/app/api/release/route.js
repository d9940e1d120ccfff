import { release } from "../../release";

export const dynamic = "force-dynamic";

export function GET() {
  return Response.json(release(), { headers: { "Cache-Control": "no-store" } });
}
