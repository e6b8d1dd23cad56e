from watchbill.runtime.principals import Table

TABLES = [Table("clocks_clock", app="select, insert, update", others={"worker": "select, insert, update"})]
