"""The HTTP contract, case by case, over real HTTP, a real broker and real workers; where each case is held:

1. A unit vector of the model's length, and its tokens.
   conformance.test_vectors.test_case_1_a_unit_vector_of_the_models_length_and_its_tokens
2. A list in its order.
   conformance.test_vectors.test_case_2_a_list_is_answered_in_its_order
3. Roles differ where the model knows them.
   conformance.test_vectors.test_case_3_roles_differ_where_the_model_knows_them
   conformance.test_vectors.test_case_3_the_roles_of_a_model_with_prompts_are_those_of_its_encode_query_and_encode_document
4. The role as a suffix of the name.
   conformance.test_vectors.test_case_4_the_role_may_be_a_suffix_of_the_name
5. The field wins over the suffix.
   conformance.test_vectors.test_case_5_the_field_wins_over_the_suffix
6. An asymmetric model wants a role.
   conformance.test_requests.test_case_6_an_asymmetric_model_wants_a_role
7. A symmetric model ignores it; other roles are refused.
   conformance.test_requests.test_case_7_another_role_names_the_allowed_ones
   conformance.test_vectors.test_case_7_a_symmetric_model_takes_a_role
8. base64 is little-endian float32 of the same numbers.
   conformance.test_vectors.test_case_8_base64_is_little_endian_float32_of_the_same_numbers
9. Encodings: null, and others.
   conformance.test_requests.test_case_9_another_encoding_is_refused
   conformance.test_vectors.test_case_9_null_is_the_default_encoding
10. Over the limit: refused, in the words that clients match.
   conformance.test_requests.test_cases_10_and_12_over_the_limit_is_refused_and_the_limit_itself_is_not
11. END and START leave exactly the limit.
   conformance.test_vectors.test_case_11_truncation_leaves_exactly_the_limit
12. The limit itself fits.
   conformance.test_requests.test_cases_10_and_12_over_the_limit_is_refused_and_the_limit_itself_is_not
13. One long text refuses its whole request.
   conformance.test_requests.test_case_13_one_long_text_refuses_its_whole_request_and_is_named
14. Other truncations.
   conformance.test_requests.test_case_14_other_truncations_are_refused
15. Fewer dimensions: the beginning, normalised again.
   conformance.test_vectors.test_case_15_fewer_dimensions_are_the_beginning_normalised_again
16. A model of one length.
   conformance.test_requests.test_case_16_a_model_of_one_length_takes_that_one_only
17. What is no length, and more than there are.
   conformance.test_requests.test_case_17_what_is_no_length_is_refused
   conformance.test_requests.test_case_17_more_than_there_are_is_refused_or_clamped
18. Empty texts.
   conformance.test_requests.test_case_18_empty_texts_are_refused_by_their_index
19. What is no text.
   conformance.test_requests.test_case_19_what_is_no_text_is_refused
   conformance.test_requests.test_case_19_a_number_among_texts_is_named
20. Token ids: refused with the hint; under the switch the model's own.
   conformance.test_requests.test_case_20_token_ids_are_refused_with_the_hint
   conformance.test_requests.test_case_20_under_the_switch_they_are_the_models_own_vocabulary
21. The model: missing, unknown.
   conformance.test_requests.test_case_21_the_model_must_be_named_and_known
22. Unknown fields: ignored, refused in strict mode.
   conformance.test_life.test_case_22_unknown_fields_are_refused_in_strict_mode_and_all_others_are_not
   conformance.test_requests.test_case_22_unknown_fields_are_ignored
23. No JSON object; too large a body.
   conformance.test_requests.test_case_23_what_is_no_json_object_is_refused
   conformance.test_requests.test_case_23_too_large_a_body_is_refused
24. 2048 texts and one more.
   conformance.test_requests.test_case_24_more_than_2048_texts_are_refused
   conformance.test_vectors.test_case_24_as_many_as_2048_texts_in_their_order
25. OpenAI's clients, by their defaults.
   conformance.test_clients.test_case_25_openai_python_names_the_role_with_the_model
   conformance.test_clients.test_case_25_langchain_openai_names_the_role_with_the_model
   api.test_openai_python.test_the_default_call_gives_the_models_own_vectors
   api.test_openai_python.test_floats_are_the_same_vectors_as_the_default_base64
   api.test_openai_python.test_the_async_client_gets_the_same_vectors
   clients.test_node_and_curl.test_openai_node_gets_the_same_vector_by_default_as_by_floats
26. langchain-nvidia: the base model, calls of 50, status 400.
   conformance.test_clients.test_case_26_langchain_nvidia_asks_the_base_model_for_passages_and_queries
   conformance.test_clients.test_case_26_langchain_nvidia_gets_vectors_as_short_as_it_wants
   clients.test_python_clients.test_langchain_nvidia_without_a_model_picks_the_base_model
   clients.test_python_clients.test_langchain_nvidia_makes_three_calls_of_101_documents
   clients.test_python_clients.test_langchain_nvidia_raises_status_400_and_the_reason_for_an_over_long_text
27. llama-index and Haystack: the base model, `meta.usage`.
   conformance.test_clients.test_case_27_llama_index_asks_the_base_model_for_passages_and_for_a_query_only_asynchronously
   conformance.test_clients.test_case_27_haystack_asks_the_base_model_for_a_query_by_one_component_and_passages_by_the_other
   clients.test_python_clients.test_llama_index_without_a_model_picks_the_base_model
   clients.test_python_clients.test_haystack_without_a_model_picks_the_base_model
   clients.test_python_clients.test_haystack_gets_the_usage_of_a_text_and_the_sum_over_the_calls_of_documents
28. Every error is of the one kind.
   conformance.test_endpoints.test_case_28_every_error_of_the_framework_is_of_the_one_kind
   conformance.test_life.test_case_28_beyond_the_limit_of_a_key_and_of_a_body
   conformance.test_life.test_case_28_past_its_deadline_a_request_is_504_and_the_worker_does_not_compute_it
   api.test_errors.test_every_code_becomes_the_hybrid_body_with_status_and_type_of_its_row
   api.test_openapi_answers.test_every_error_of_a_worker_comes_as_the_document_says
29. Keys: off, on, and what stays open.
   conformance.test_clients.test_case_29_langchain_nvidia_is_let_in_with_its_key_and_told_without
   conformance.test_clients.test_case_29_openai_python_is_let_in_with_its_key_and_told_without
   conformance.test_life.test_case_29_without_keys_any_header_is_let_in
   conformance.test_life.test_case_29_with_keys_only_they_are_let_in
   conformance.test_life.test_case_29_what_probes_and_operators_ask_stays_open
30. A full house: 503 at once, and answered later.
   conformance.test_life.test_case_30_a_full_house_is_said_at_once_and_a_client_that_tries_again_is_answered
   api.test_request_body.test_openai_s_client_comes_back_by_itself_and_is_answered_once_there_is_room
31. Loading, ready, stopping.
   conformance.test_life.test_case_31_an_api_is_ready_once_the_model_is_loaded_until_it_stops_and_answers_what_is_under_way
   api.test_serving.test_asked_to_stop_an_api_is_unready_at_once_answers_what_is_in_flight_and_ends_with_0
32. `/v1/models` and the metadata.
   conformance.test_endpoints.test_case_32_the_default_model_is_first_and_every_root_is_its_own
   conformance.test_endpoints.test_case_32_the_other_endpoints_have_their_keys
33. Counters rise by exactly the traffic.
   conformance.test_endpoints.test_case_33_counters_rise_by_exactly_the_traffic
34. Types of numbers.
   conformance.test_vectors.test_case_34_a_bit_a_dimension
   conformance.test_vectors.test_case_34_a_byte_a_dimension_by_fixed_ranges
   conformance.test_vectors.test_case_34_a_model_without_ranges_refuses_a_byte_a_dimension
   conformance.test_vectors.test_case_34_a_model_of_floats_refuses_the_others
35. Many callers at once each get their own.
   conformance.test_vectors.test_case_35_concurrent_callers_each_get_their_own
36. Any text; a caller that leaves.
   conformance.test_life.test_case_36_a_caller_that_disconnects_leaves_no_reply_awaited_and_no_room_taken
   conformance.test_requests.test_case_36_any_text_is_embedded
   conformance.test_requests.test_case_36_a_lone_surrogate_is_refused
   e2e.test_soak.test_twenty_thousand_requests_leave_no_reply_awaited_and_the_second_half_no_memory

Cases 1, 2, 3, 8, 11, 15 and 34 once more as a worker computes by itself:
conformance.test_automatic_dtype, and on topics: conformance.test_topics.
"""
