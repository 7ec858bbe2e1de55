"""Where state lives: tables, their migrations, and the database behind them."""
