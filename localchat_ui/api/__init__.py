"""HTTP for programs: OpenAI's protocol, the chat as server-sent events, health and metrics."""
