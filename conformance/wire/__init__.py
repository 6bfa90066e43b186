"""What a Coordinator answers on its two ports, as data: requests in, answers and state out."""
