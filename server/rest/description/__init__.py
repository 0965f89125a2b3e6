"""What the API can do, as data: an endpoint, the bodies of requests and answers, and the documents made of these."""
