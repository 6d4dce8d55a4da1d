"""Workers are the processes that train trials; here are the engines that run them and the messages they exchange."""
