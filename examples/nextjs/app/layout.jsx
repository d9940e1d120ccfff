import "./globals.css";

export const metadata = {
  title: "Gatehouse status",
  description: "Which release answers, and how fast",
};

export const viewport = {
  colorScheme: "light dark",
};

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
