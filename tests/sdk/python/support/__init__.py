"""What the tests share: the server under test, a concurrent runner, a raw client, a hand-driven worker, histories."""
