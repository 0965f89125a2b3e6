"""The stream driver between feed and consumers, the transaction tail, and the interfaces of feed and consumers."""
