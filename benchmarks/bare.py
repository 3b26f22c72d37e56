import streamlit as st

st.title("Three lines")
st.write("An app of three lines, to compare the first paint of ours with (benchmarks/start.py).")
